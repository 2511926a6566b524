The coordinator dies when a step is begun and nothing of it is sent: the next one sends it.

saga:
  reserve
  pay

meanwhile:
  pay begun -> the coordinator dies

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  saga resumed
  pay succeeded

ends: COMPLETED
stands: reserve, pay
sent: do reserve, do pay
