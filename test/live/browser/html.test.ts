import assert from 'node:assert/strict'
import test from 'node:test'
import { type Html, html } from '../../../src/live/browser/html.ts'
import { isSafeUrl } from '../../../src/live/browser/safe-url.ts'

const text = (markup: Html): string => String(markup)

test('values become text, pieces of markup stay markup, lists follow each other', () => {
  const evil = `<img src=x onerror='a("b")'>&`
  assert.equal(text(html`<b>${evil}</b>`), '<b>&#60;img src=x onerror=&#39;a(&#34;b&#34;)&#39;&#62;&#38;</b>')
  assert.equal(
    text(html`<ul>${['a', 'b'].map(name => html`<li>${name}</li>`)}</ul>`),
    '<ul><li>a</li><li>b</li></ul>',
  )
})

test('nothing comes of null, undefined and false; 0 and true are written', () => {
  assert.equal(text(html`${null}${undefined}${false}${0}${true}`), '0true')
})

test('a URL that would run as a script becomes about:blank, however it is spelt', () => {
  for (const url of [
    'javascript:alert(1)',
    ' JavaScript:alert(1)',
    'java\nscript:alert(1)',
    '\u0001javascript:x',
    'vbscript:x',
    'data:text/html,x',
    'data:image/svg+xml,x',
  ]) {
    assert.equal(isSafeUrl(url), false, JSON.stringify(url))
    assert.equal(text(html`<a href="${url}">x</a>`), '<a href="about:blank">x</a>')
  }
  assert.doesNotMatch(text(html`<a href="${'java'}${'script:alert(1)'}">x</a>`), /href="javascript:/)
  assert.doesNotMatch(text(html`<a href=" ${'javascript:alert(1)'}">x</a>`), /javascript:/)
  assert.doesNotMatch(text(html`<form action="${'javascript:'}alert(${1})">`), /action="javascript:/)
})

test('ordinary URLs stay, and other attributes and texts are not looked at', () => {
  for (const url of [
    '/a?b=c:d',
    'https://example.com',
    'mailto:a@example.com',
    'a/b:c',
    '#x',
    '?a:b',
    'data:image/png;base64,AA',
  ]) {
    assert.equal(isSafeUrl(url), true, url)
  }
  assert.equal(
    text(html`<i title="${'javascript:x'}">javascript:${'x'}</i>`),
    '<i title="javascript:x">javascript:x</i>',
  )
  assert.equal(text(html`<a href="/x" title="${'a:b'}">`), '<a href="/x" title="a:b">')
})
