A person gives up a retriable step that waits: it needs a person then, and what does not depend on it goes on.

saga:
  pay, pivot
  ship, retriable, after pay
  mail, retriable, after pay

given:
  ship: pending, ask again in 1h
  mail: succeeded, takes 1s

meanwhile:
  ship pending, asked again in 1h -> operator FAIL ship
  at rest -> operator FAIL ship, in vain: saga saga-1: step 'ship' has failed already

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s mail begun
  +0s ship pending, asked again in 1h
  +0s operator FAIL ship
  +1s mail succeeded

ends: DEAD_LETTERED, ship BUDGET_SPENT
error: ship at ShipService needs a person: it was given up by ada (she knows), and past the pivot nothing is undone.
stands: pay, mail
