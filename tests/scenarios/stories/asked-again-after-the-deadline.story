The deadline passes while a saga rests past its pivot: once a person has its step asked again, it is
overdue, and goes on.

saga: ttl 30s
  pay, pivot
  ship, retriable

given:
  ship: refused NO_SUCH_ADDRESS

meanwhile:
  ship refused NO_SUCH_ADDRESS -> the coordinator dies for 1m
  at rest -> operator RETRY ship

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s ship refused NO_SUCH_ADDRESS
  +1m operator RETRY ship
  +1m deadline passed
  +1m ship succeeded at attempt 2

ends: COMPLETED, overdue
stands: pay, ship
