Waiting for a pivot or a retriable step that was taken on spends nothing of its budget; asking does.

saga:
  pay, pivot, budget 1s
  ship, retriable, budget 1s

given:
  pay: pending, ask again in 1h
  pay: faulted BUSY
  ship: pending, ask again in 1h
  ship: faulted BUSY

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay pending, asked again in 1h
  +1h pay faulted BUSY, again in 100ms
  +3600.1s pay succeeded at attempt 2
  +3600.1s ship begun
  +3600.1s ship pending, asked again in 1h
  +7200.1s ship faulted BUSY, again in 100ms
  +7200.2s ship succeeded at attempt 2

ends: COMPLETED
stands: pay, ship
