The coordinator dies when a step has had its effect and nobody has heard of it: the next one asks under the
same key.

saga:
  reserve
  pay, attempts 1
  ship

given:
  pay: succeeded, and the coordinator dies

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  saga resumed
  pay succeeded
  ship begun
  ship succeeded

ends: COMPLETED
stands: reserve, pay, ship
sent: do reserve, do pay, do pay, do ship
