A person gives up a retriable step whose call is under way, and then has it asked again: that is another
attempt, and one effect.

saga:
  pay, pivot
  ship, retriable, timeout 30s

given:
  ship: succeeded, takes 20s

meanwhile:
  ship begun -> operator FAIL ship
  at rest -> operator RETRY ship

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s operator FAIL ship
  +0s operator RETRY ship
  +20s ship succeeded at attempt 2

ends: COMPLETED
stands: pay, ship
