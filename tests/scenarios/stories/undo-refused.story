An undo that is refused needs a person, and holds up the undo of all that the step depends on.

saga:
  reserve
  pay
  ship

given:
  ship: status UNIMPLEMENTED
  undo pay: refused SETTLED

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay succeeded
  ship begun
  ship faulted PERMANENT UNIMPLEMENTED, for good
  undo ship begun, no receipt
  ship undone
  undo pay begun
  undo pay refused SETTLED

ends: DEAD_LETTERED, pay REFUSED
error: ship at ShipService was given up: UNIMPLEMENTED: a status. Its undo needs a person: undo_pay at PayService failed for good; behind it wait: reserve.
stands: reserve, pay
sent: do reserve, do pay, do ship, undo ship, undo pay
