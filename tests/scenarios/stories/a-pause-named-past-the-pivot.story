Past the pivot the pause that a participant names is kept to as well, up to the longest one and to the end
of the budget.

saga:
  pay, pivot
  ship, retriable, budget 100s

given:
  pay: faulted BUSY, ask again in 30s
  ship: faulted BUSY, ask again in 1h, 3 times

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay faulted BUSY, again in 30s
  +30s pay succeeded at attempt 2
  +30s ship begun
  +30s ship faulted BUSY, again in 1m
  +90s ship faulted BUSY at attempt 2, again in 40s
  +130s ship faulted BUSY at attempt 3, for good

ends: DEAD_LETTERED, ship BUDGET_SPENT
error: ship at ShipService needs a person: it was tried in vain until its budget was spent, and past the pivot nothing is undone.
stands: pay
