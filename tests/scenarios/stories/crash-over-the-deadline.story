The deadline passes while nobody drives the saga: the next coordinator asks for nothing more, and undoes
what was begun.

saga: ttl 30s
  reserve
  pay

meanwhile:
  pay begun -> the coordinator dies for 1m

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +1m saga resumed
  +1m deadline passed
  +1m undo pay begun, no receipt
  +1m pay undone
  +1m undo reserve begun
  +1m reserve undone

ends: COMPENSATED
error: The time allowed for it ran out. What was begun has been undone.
stands: nothing
sent: do reserve, undo pay, undo reserve
