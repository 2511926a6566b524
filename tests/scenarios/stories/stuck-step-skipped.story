A person has a saga go on without a retriable step that was refused.

saga:
  pay, pivot
  ship, retriable
  mail, retriable

given:
  ship: refused NO_SUCH_ADDRESS

meanwhile:
  at rest -> operator SKIP ship

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  ship refused NO_SUCH_ADDRESS
  operator SKIP ship
  mail begun
  mail succeeded

ends: COMPLETED, forced
stands: pay, mail
