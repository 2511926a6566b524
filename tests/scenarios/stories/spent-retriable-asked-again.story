A retriable step whose budget was spent is asked again by a person, with a new budget, under the same key.

saga:
  pay, pivot
  ship, retriable, budget 100ms

given:
  ship: faulted BUSY, 3 times

meanwhile:
  at rest -> operator RETRY ship

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s ship faulted BUSY, again in 100ms
  +100ms ship faulted BUSY at attempt 2, for good
  +100ms operator RETRY ship
  +100ms ship faulted BUSY at attempt 3, again in 100ms
  +200ms ship succeeded at attempt 4

ends: COMPLETED
stands: pay, ship
