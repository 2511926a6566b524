A step that is refused at its only attempt has done nothing, so only what came before it is undone.

saga:
  reserve
  pay
  ship

given:
  pay: refused CARD_DECLINED

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay refused CARD_DECLINED
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was refused: CARD_DECLINED: the business says no. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo reserve

# An attempt may have been under way when the coordinator died, so this refusal proves nothing of that one.
after a crash at pay begun:
  pay refused CARD_DECLINED
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone
