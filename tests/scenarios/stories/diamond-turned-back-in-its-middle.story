One side of a diamond is refused while the other has its answer still to come: its foot is undone once both
sides are settled.

saga:
  reserve
  pack, after reserve
  label, after reserve
  ship, after pack and label

given:
  pack: succeeded, takes 4s
  label: status UNIMPLEMENTED, takes 1s

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pack begun
  +0s label begun
  +1s label faulted PERMANENT UNIMPLEMENTED, for good
  +1s undo label begun, no receipt
  +1s label undone
  +4s pack succeeded
  +4s undo pack begun
  +4s pack undone
  +4s undo reserve begun
  +4s reserve undone

ends: COMPENSATED
error: label at LabelService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, {do pack, do label}, undo label, undo pack, undo reserve

# Nobody waits for the answer of pack any more: it is barred at once.
after a crash at undo label begun, no receipt:
  side by side:
    label undone
    undo pack begun, no receipt; pack undone
  undo reserve begun
  reserve undone

after a crash at label undone:
  undo pack begun, no receipt
  pack undone
  undo reserve begun
  reserve undone
