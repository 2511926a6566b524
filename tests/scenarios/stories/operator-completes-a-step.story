A person vouches for a step and says what it would have answered; the saga goes on with that.

saga:
  reserve
  pay
    input: {"ref": "outputs.reserve.ref"}
yields: {"ref": "outputs.reserve.ref"}

given:
  reserve: faulted BUSY, ask again in 5s

meanwhile:
  reserve faulted BUSY, again in 5s -> operator COMPLETE reserve with {"ref": "by phone"}

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve faulted BUSY, again in 5s
  +0s operator COMPLETE reserve with {"ref":"by phone"}
  +0s pay begun with {"ref":"by phone"}
  +0s pay succeeded
  +0s output shaped

ends: COMPLETED, forced
output: {"ref": "by phone"}
stands: pay
sent: do reserve, do pay
