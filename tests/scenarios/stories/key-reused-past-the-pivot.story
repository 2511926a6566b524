From the pivot on, a contradiction about a key is flagged and asked about again until the budget is spent.

saga:
  pay, pivot
  ship, retriable, budget 300ms

given:
  ship: key reused, every time

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s ship faulted KEY_REUSED, again in 100ms
  +100ms ship faulted KEY_REUSED at attempt 2, again in 200ms
  +300ms ship faulted KEY_REUSED at attempt 3, for good

ends: DEAD_LETTERED, ship BUDGET_SPENT
error: ship at ShipService needs a person: it was tried in vain until its budget was spent, and past the pivot nothing is undone.
flags: ship: KEY_REUSED
stands: pay
