Once the pivot is begun, whether or not it has happened, a saga cannot be cancelled any more.

saga:
  reserve
  pay, pivot
  ship, retriable

given:
  pay: succeeded, takes 1s
  ship: succeeded, takes 1s

meanwhile:
  pay begun as the pivot -> cancel, in vain: saga saga-1 is past its pivot: it goes on to its end and cannot be cancelled any more
  ship begun -> operator CANCEL, in vain: saga saga-1 is past its pivot: it goes on to its end and cannot be cancelled any more
  at rest -> cancel, in vain: saga saga-1 is COMPLETED and cannot be cancelled any more

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  pay succeeded
  ship begun
  ship succeeded

ends: COMPLETED
stands: reserve, pay, ship
