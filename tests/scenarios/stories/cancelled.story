A saga that is cancelled while a step is under way waits for that answer, and undoes what it tells.

saga:
  reserve
  pay
  ship

given:
  pay: succeeded, takes 2s, with {"payment": 7}

meanwhile:
  pay begun -> cancel: the customer left

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s cancel requested: the customer left
  +2s pay succeeded with {"payment":7}
  +2s undo pay begun
  +2s pay undone
  +2s undo reserve begun
  +2s reserve undone

ends: COMPENSATED
error: Cancelled (the customer left). What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo pay, undo reserve
asked:
  undo pay with {"outputs":{"reserve":"reserve done"}}, receipt {"payment":7}

# Nobody waits for that answer any more. The undo bars the payment, which is still on its way.
after a crash at cancel requested: the customer left:
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone
