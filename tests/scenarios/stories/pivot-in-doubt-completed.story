A person finds out that a pivot in doubt has happened and vouches for it: the saga goes on behind it.

saga:
  reserve
  pay, pivot, budget 100ms
  ship, retriable
    input: {"payment": "outputs.pay.id"}

given:
  pay: status UNAVAILABLE after the effect, 2 times

meanwhile:
  at rest -> operator COMPLETE pay with {"id": 7}

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  pay faulted UNKNOWN UNAVAILABLE, again in 100ms
  pay faulted UNKNOWN UNAVAILABLE at attempt 2, for good
  operator COMPLETE pay with {"id":7}
  ship begun with {"payment":7}
  ship succeeded

ends: COMPLETED, forced
stands: reserve, pay, ship
