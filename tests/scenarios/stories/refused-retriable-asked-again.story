A retriable step that was refused is asked again by a person, under another key: the refusal is stored under
the first.

saga:
  pay, pivot
  ship, retriable
  mail, retriable

given:
  ship: refused NO_SUCH_ADDRESS

meanwhile:
  at rest -> operator RETRY ship

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  ship refused NO_SUCH_ADDRESS
  operator RETRY ship
  ship succeeded at attempt 2
  mail begun
  mail succeeded

ends: COMPLETED
stands: pay, ship, mail
sent: do pay, do ship, do ship, do mail
