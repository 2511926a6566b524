A person skips a step that another one's input is made of: nothing stands in for it, so the saga turns back
and undoes that step, too.

saga:
  reserve
  gift
  pay
    input: {"gift": "outputs.gift.ref"}

given:
  gift: faulted BUSY, ask again in 5s

meanwhile:
  gift faulted BUSY, again in 5s -> operator SKIP gift

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s gift begun
  +0s gift faulted BUSY, again in 5s
  +0s operator SKIP gift
  +0s pay's input.gift failed: no output of step gift is known
  +0s undo gift begun, no receipt
  +0s gift undone
  +0s undo reserve begun
  +0s reserve undone

ends: COMPENSATED, forced
error: An expression of step pay failed, at input.gift: no output of step gift is known. What was begun has been undone.
stands: nothing
