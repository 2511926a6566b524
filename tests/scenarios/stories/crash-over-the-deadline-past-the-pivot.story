The deadline passes while nobody drives a saga whose pivot is begun: it is overdue, and goes on.

saga: ttl 30s
  reserve
  pay, pivot
  ship, retriable

meanwhile:
  pay begun as the pivot -> the coordinator dies for 1m

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun as the pivot
  +1m saga resumed
  +1m deadline passed
  +1m pay succeeded
  +1m ship begun
  +1m ship succeeded

ends: COMPLETED, overdue
stands: reserve, pay, ship
