A refusal past the pivot that nobody heard is repeated to the next coordinator: it needs a person all the
same.

saga:
  pay, pivot
  ship, retriable

given:
  ship: refused NO_SUCH_ADDRESS, and the coordinator dies
  ship: refused NO_SUCH_ADDRESS

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  saga resumed
  ship refused NO_SUCH_ADDRESS

ends: DEAD_LETTERED, ship REFUSED
error: ship at ShipService needs a person: it was refused, and past the pivot nothing is undone.
stands: pay
sent: do pay, do ship, do ship
