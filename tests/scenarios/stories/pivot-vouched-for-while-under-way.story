A person who knows that the pivot has happened does not wait for its answer; that has no say any more.

saga:
  reserve
  pay, pivot, timeout 1m
  ship, retriable, timeout 1m
    input: {"payment": "outputs.pay.id"}

given:
  pay: succeeded, takes 30s, with {"id": 8}
  ship: succeeded, takes 50s

meanwhile:
  pay begun as the pivot -> operator COMPLETE pay with {"id": 7}

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun as the pivot
  +0s operator COMPLETE pay with {"id":7}
  +0s ship begun with {"payment":7}
  +50s ship succeeded

ends: COMPLETED, forced
stands: reserve, pay, ship
