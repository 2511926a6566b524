The time in which nobody is there counts towards a step's budget: the next coordinator makes one attempt,
and that is the last.

saga:
  pay, pivot
  ship, retriable, budget 10s

given:
  ship: faulted BUSY, 2 times

meanwhile:
  ship faulted BUSY, again in 100ms -> the coordinator dies for 1m

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s ship faulted BUSY, again in 100ms
  +1m saga resumed
  +1m ship faulted BUSY at attempt 2, for good

ends: DEAD_LETTERED, ship BUDGET_SPENT
error: ship at ShipService needs a person: it was tried in vain until its budget was spent, and past the pivot nothing is undone.
stands: pay
