A retriable step whose budget is spent needs a person; the effect of its last attempt may well be there.

saga:
  pay, pivot
  ship, retriable, budget 500ms

given:
  ship: faulted BUSY, 3 times
  ship: status INTERNAL after the effect

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s ship faulted BUSY, again in 100ms
  +100ms ship faulted BUSY at attempt 2, again in 200ms
  +300ms ship faulted BUSY at attempt 3, again in 200ms
  +500ms ship faulted UNKNOWN INTERNAL at attempt 4, for good

ends: DEAD_LETTERED, ship BUDGET_SPENT
error: ship at ShipService needs a person: it was tried in vain until its budget was spent, and past the pivot nothing is undone.
stands: pay, ship
sent: do pay, do ship, do ship, do ship, do ship
