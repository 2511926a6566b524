Nobody is there when a pending step should be asked again: the next coordinator asks as soon as it comes.

saga:
  pay, pivot
  ship, retriable

given:
  ship: pending, ask again in 1m

meanwhile:
  ship pending, asked again in 1m -> the coordinator dies for 1h

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s ship pending, asked again in 1m
  +1h saga resumed
  +1h ship succeeded

ends: COMPLETED
stands: pay, ship
