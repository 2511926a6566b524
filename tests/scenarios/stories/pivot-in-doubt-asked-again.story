A pivot in doubt is asked again by a person, under the same key: if it has happened, it is not done twice.

saga:
  reserve
  pay, pivot, budget 100ms
  ship, retriable

given:
  pay: status UNAVAILABLE after the effect, 2 times

meanwhile:
  at rest -> operator RETRY pay

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  pay faulted UNKNOWN UNAVAILABLE, again in 100ms
  pay faulted UNKNOWN UNAVAILABLE at attempt 2, for good
  operator RETRY pay
  pay succeeded at attempt 3
  ship begun
  ship succeeded

ends: COMPLETED
stands: reserve, pay, ship
