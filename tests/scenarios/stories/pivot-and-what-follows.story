With the pivot done, the retriable steps behind it are carried through.

saga:
  reserve
  pay, pivot
  ship, retriable
  mail, retriable

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  pay succeeded
  ship begun
  ship succeeded
  mail begun
  mail succeeded

ends: COMPLETED
stands: reserve, pay, ship, mail
sent: do reserve, do pay, do ship, do mail
