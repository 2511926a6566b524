A pivot that does not answer is asked again, as is a retriable step: each effect comes once.

saga:
  pay, pivot, timeout 3s
  ship, retriable, timeout 2s

given:
  pay: silent after the effect
  ship: silent

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +3s pay faulted UNKNOWN DEADLINE_EXCEEDED, again in 100ms
  +3.1s pay succeeded at attempt 2
  +3.1s ship begun
  +5.1s ship faulted UNKNOWN DEADLINE_EXCEEDED, again in 100ms
  +5.2s ship succeeded at attempt 2

ends: COMPLETED
stands: pay, ship
sent: do pay, do pay, do ship, do ship
