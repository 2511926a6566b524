Past the pivot the deadline turns nothing back and cuts no call short: the saga is overdue, and goes on.

saga: ttl 5s
  reserve
  pay, pivot
  ship, retriable

given:
  pay: succeeded, takes 8s
  ship: faulted BUSY

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun as the pivot
  +5s deadline passed
  +8s pay succeeded
  +8s ship begun
  +8s ship faulted BUSY, again in 100ms
  +8.1s ship succeeded at attempt 2

ends: COMPLETED, overdue
stands: reserve, pay, ship
