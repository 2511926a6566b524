The coordinator dies when the pivot has had its effect: the next one asks it under the same key, and goes on
forward.

saga:
  reserve
  pay, pivot
  ship, retriable

given:
  pay: succeeded, and the coordinator dies

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  saga resumed
  pay succeeded
  ship begun
  ship succeeded

ends: COMPLETED
stands: reserve, pay, ship
sent: do reserve, do pay, do pay, do ship
