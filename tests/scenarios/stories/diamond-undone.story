A diamond is undone from its tip: both its sides at the same time, and its foot once both are gone.

saga:
  reserve
  pack, after reserve
  label, after reserve
  ship, after pack and label

given:
  ship: status UNIMPLEMENTED
  undo pack: succeeded, takes 3s
  undo label: faulted BUSY, takes 1s

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
  +1s undo label faulted BUSY, again in 500ms
  +1.5s label undone at attempt 2
  +3s pack undone
  +3s undo reserve begun
  +3s reserve undone

ends: COMPENSATED
error: ship at ShipService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, {do pack, do label}, do ship, undo ship, {undo pack, undo label}, undo label, undo reserve
