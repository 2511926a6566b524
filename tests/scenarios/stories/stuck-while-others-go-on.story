A step that needs a person is listed while the others go on; settled in time, it costs the saga nothing.

saga:
  pay, pivot
  ship, retriable, after pay
  mail, retriable, after pay

given:
  ship: refused NO_SUCH_ADDRESS
  mail: succeeded, takes 5s

meanwhile:
  ship refused NO_SUCH_ADDRESS -> operator RETRY ship

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s mail begun
  +0s ship refused NO_SUCH_ADDRESS
  +0s operator RETRY ship
  +0s ship succeeded at attempt 2
  +5s mail succeeded

ends: COMPLETED
stands: pay, ship, mail
