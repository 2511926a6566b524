Two steps behind the pivot get stuck, one refused and one out of its budget; a person settles one after the
other.

saga:
  pay, pivot
  ship, retriable, after pay
  bill, retriable, after pay, budget 100ms
  close, retriable, after ship and bill

given:
  ship: refused NO_SUCH_ADDRESS, takes 1s
  bill: faulted BUSY, 2 times

meanwhile:
  at rest -> operator RETRY ship
  at rest -> operator SKIP bill

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s bill begun
  +0s bill faulted BUSY, again in 100ms
  +100ms bill faulted BUSY at attempt 2, for good
  +1s ship refused NO_SUCH_ADDRESS
  +1s operator RETRY ship
  +1s ship succeeded at attempt 2
  +1s operator SKIP bill
  +1s close begun
  +1s close succeeded

ends: COMPLETED, forced
stands: pay, ship, close
