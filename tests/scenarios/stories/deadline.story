When the time is up, no answer is waited for: what was begun is undone, and an effect that is still on its
way is barred.

saga: ttl 5s
  reserve
  pay

given:
  reserve: succeeded, takes 1s
  pay: succeeded, takes 8s

timeline:
  +0s saga started
  +0s reserve begun
  +1s reserve succeeded
  +1s pay begun
  +5s deadline passed
  +5s pay faulted UNKNOWN DEADLINE_EXCEEDED, for good
  +5s undo pay begun, no receipt
  +5s pay undone
  +5s undo reserve begun
  +5s reserve undone

ends: COMPENSATED
error: The time allowed for it ran out. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo pay, undo reserve

after a crash at deadline passed:
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone
