A retriable step that is refused needs a person: past the pivot nothing is undone.

saga:
  pay, pivot
  ship, retriable
  mail, retriable

given:
  ship: refused NO_SUCH_ADDRESS

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  ship refused NO_SUCH_ADDRESS

ends: DEAD_LETTERED, ship REFUSED
error: ship at ShipService needs a person: it was refused, and past the pivot nothing is undone.
stands: pay
sent: do pay, do ship
