A step that never answered is undone without a receipt; in its undo's expressions the default output stands
for what is not known.

saga:
  reserve
  pay, attempts 1
    undo input: {"order": "input.order", "payment": "outputs.pay.id"}
    default output: {"id": null}
input: {"order": "o-1"}

given:
  pay: silent after the effect

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +10s pay faulted UNKNOWN DEADLINE_EXCEEDED, for good
  +10s undo pay begun, no receipt with {"order":"o-1","payment":null}
  +10s pay undone
  +10s undo reserve begun
  +10s reserve undone

ends: COMPENSATED
error: pay at PayService was given up: DEADLINE_EXCEEDED: no answer in time. What was begun has been undone.
stands: nothing
asked:
  undo pay with {"order":"o-1","payment":null}, no receipt
