A person who skips the pivot has decided as well: the saga goes on behind it, and nothing turns it back any
more.

saga:
  reserve
  pay, pivot
  ship, retriable

given:
  pay: faulted BUSY, ask again in 5s
  ship: succeeded, takes 1s

meanwhile:
  pay faulted BUSY, again in 5s -> operator SKIP pay
  ship begun -> cancel, in vain: saga saga-1 is past its pivot: it goes on to its end and cannot be cancelled any more

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  pay faulted BUSY, again in 5s
  operator SKIP pay
  ship begun
  ship succeeded

ends: COMPLETED, forced
stands: reserve, ship
