A person has the saga go on without a step that never answers; nobody undoes or bars it, and its effect may come to stand.

saga:
  reserve
  gift, timeout 30s
    default output: {"ref": null}
  pay
    input: {"gift": "outputs.gift.ref"}

given:
  gift: succeeded, takes 20s, with {"ref": "g-1"}

meanwhile:
  gift begun -> operator SKIP gift

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s gift begun
  +0s operator SKIP gift
  +0s pay begun with {"gift":null}
  +0s pay succeeded

ends: COMPLETED, forced
stands: reserve, gift, pay
