A saga that turns back undoes what it has done, the last first, and gives each undo what its step answered.

saga:
  reserve
  pay
  ship
input: {"order": "o-1"}

given:
  reserve: succeeded with {"ref": "r-1"}
  ship: status UNIMPLEMENTED

timeline:
  saga started
  reserve begun
  reserve succeeded with {"ref":"r-1"}
  pay begun
  pay succeeded
  ship begun
  ship faulted PERMANENT UNIMPLEMENTED, for good
  undo ship begun, no receipt
  ship undone
  undo pay begun
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: ship at ShipService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, do ship, undo ship, undo pay, undo reserve
asked:
  undo ship with {"order":"o-1","outputs":{"pay":"pay done","reserve":{"ref":"r-1"}}}, no receipt
  undo pay with {"order":"o-1","outputs":{"reserve":{"ref":"r-1"}}}, receipt "pay done"
  undo reserve with {"order":"o-1","outputs":{}}, receipt {"ref":"r-1"}
