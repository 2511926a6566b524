The coordinator dies when a retriable step has had its effect: the effect comes once, however often that
happens.

saga:
  pay, pivot
  ship, retriable, budget 1s
  mail, retriable

given:
  ship: succeeded, and the coordinator dies
  ship: succeeded, and the coordinator dies
  mail: faulted BUSY, and the coordinator dies

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  saga resumed
  saga resumed
  ship succeeded
  mail begun
  saga resumed
  mail succeeded

ends: COMPLETED
stands: pay, ship, mail
sent: do pay, do ship, do ship, do ship, do mail, do mail
