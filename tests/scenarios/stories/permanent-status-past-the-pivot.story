From the pivot on, a status that will not pass by itself is asked again: a wrong credential is put right by
somebody.

saga:
  pay, pivot
  ship, retriable

given:
  pay: status UNAUTHENTICATED
  ship: status PERMISSION_DENIED, 2 times

timeline:
  saga started
  pay begun as the pivot
  pay faulted PERMANENT UNAUTHENTICATED, again in 100ms
  pay succeeded at attempt 2
  ship begun
  ship faulted PERMANENT PERMISSION_DENIED, again in 100ms
  ship faulted PERMANENT PERMISSION_DENIED at attempt 2, again in 200ms
  ship succeeded at attempt 3

ends: COMPLETED
stands: pay, ship
