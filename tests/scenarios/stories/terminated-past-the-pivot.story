A saga that needs a person past its pivot is stopped for good: that settles it, whatever became of the step.

saga:
  pay, pivot
  ship, retriable

given:
  ship: refused NO_SUCH_ADDRESS

meanwhile:
  at rest -> operator TERMINATE

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  ship refused NO_SUCH_ADDRESS
  operator TERMINATE

ends: TERMINATED, forced
error: ship at ShipService failed for good: it was refused, and past the pivot nothing is undone. Terminated by ada (she knows). What was begun and is not undone stands as it is.
stands: pay
