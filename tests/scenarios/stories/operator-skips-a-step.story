A person has the saga go on without a step that does not answer: it is waited for no longer, and its effect
may yet come.

saga:
  reserve
  gift, timeout 30s
    default output: {"ref": null}
  pay, timeout 30s
    input: {"gift": "outputs.gift.ref"}

given:
  gift: succeeded, takes 20s, with {"ref": "g-1"}
  pay: succeeded, takes 25s

meanwhile:
  gift begun -> operator SKIP gift

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s gift begun
  +0s operator SKIP gift
  +0s pay begun with {"gift":null}
  +25s pay succeeded

ends: COMPLETED, forced
stands: reserve, gift, pay
