A retriable step is asked again and again, more often than a step before the pivot would be, until it
succeeds.

saga:
  pay, pivot
  ship, retriable

given:
  ship: faulted BUSY, 7 times

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s ship faulted BUSY, again in 100ms
  +100ms ship faulted BUSY at attempt 2, again in 200ms
  +300ms ship faulted BUSY at attempt 3, again in 400ms
  +700ms ship faulted BUSY at attempt 4, again in 800ms
  +1.5s ship faulted BUSY at attempt 5, again in 1600ms
  +3.1s ship faulted BUSY at attempt 6, again in 3200ms
  +6.3s ship faulted BUSY at attempt 7, again in 6400ms
  +12.7s ship succeeded at attempt 8

ends: COMPLETED
stands: pay, ship
