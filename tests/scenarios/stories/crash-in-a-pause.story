The coordinator dies in the middle of a pause: the next one keeps to the moment that is journaled.

saga:
  reserve
  pay

given:
  pay: faulted BUSY, ask again in 4s

meanwhile:
  pay faulted BUSY, again in 4s -> the coordinator dies for 1s

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted BUSY, again in 4s
  +4s saga resumed
  +4s pay succeeded at attempt 2

ends: COMPLETED
stands: reserve, pay
