Coordinators die again and again while the same step is asked: each costs one attempt that does not count.

saga:
  reserve
  pay, attempts 1

given:
  pay: succeeded, and the coordinator dies
  pay: succeeded, and the coordinator dies for 1m
  pay: succeeded, and the coordinator dies

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s saga resumed
  +1m saga resumed
  +1m saga resumed
  +1m pay succeeded

ends: COMPLETED
stands: reserve, pay
sent: do reserve, do pay, do pay, do pay, do pay
