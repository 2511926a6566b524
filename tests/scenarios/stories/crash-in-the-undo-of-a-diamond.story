The coordinator dies while both sides of a diamond are being undone: the foot still waits for both.

saga:
  reserve
  pack, after reserve
  label, after reserve
  ship, after pack and label

given:
  ship: status UNIMPLEMENTED
  undo pack: succeeded, takes 3s
  undo label: succeeded, takes 1s, and the coordinator dies for 1s

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  side by side:
    +0s pack begun; +0s pack succeeded
    +0s label begun; +0s label succeeded
  +0s ship begun
  +0s ship faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo ship begun, no receipt
  +0s ship undone
  +0s undo label begun
  +0s undo pack begun
  +2s saga resumed
  +2s label undone
  +3s pack undone
  +3s undo reserve begun
  +3s reserve undone

ends: COMPENSATED
error: ship at ShipService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
