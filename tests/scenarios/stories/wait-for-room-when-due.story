A step that is due again while its place is taken waits for the place, and not in circles.

saga: maxParallel 1
  pay, pivot
  ship, retriable, after pay
  notify, retriable, after pay

given:
  ship: faulted BUSY, ask again in 1s
  notify: succeeded, takes 5s

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  ship faulted BUSY, again in 1s
  notify begun
  +5s notify succeeded
  ship succeeded at attempt 2

ends: COMPLETED
stands: pay, ship, notify
sent: do pay, do ship, do notify, do ship
