'use strict'
// The list of images: files are sent one after the other, the server is asked how far it is, buttons act.
// The token stands behind `#` in the address; it is kept for this tab and leaves it in one header alone.

const byId = (id) => document.getElementById(id)
const ACTIVE = { often: 700, seldom: 3000 } // ms between two questions
const STATES = {
  queued: 'Waiting', uploading: 'Uploading', waiting: 'Waiting', working: 'Working', done: 'Done', failed: 'Failed',
  cancelled: 'Cancelled',
}
const ENDED = ['done', 'failed', 'cancelled']
const ENDED_PROGRAM = 'The program has ended, or does not answer. Start it again, and open the address that it prints.'

const token = takenToken()
const cards = new Map() // list items by the id of their job, or of their upload
const uploads = [] // waiting to be sent: { id, file, options }
let sending = null // the upload on its way, with its request
let most = Infinity // bytes of a file
let timer = 0
let lost = false

/** The token of the address, which the address then no longer shows. */
function takenToken() {
  const given = location.hash.slice(1)
  if (given) {
    sessionStorage.setItem('token', given)
    history.replaceState(null, '', '/')
  }
  return sessionStorage.getItem('token') ?? ''
}

/** A request to the server; what it answers. An error has its one line as message. */
async function ask(method, path) {
  const answer = await fetch(path, { method, headers: { Authorization: `Bearer ${token}` } })
  const content = answer.status === 204 ? {} : await answer.json()
  if (!answer.ok) throw Object.assign(new Error(content.error), { refused: true })
  return content
}

function notice(text) {
  byId('notice').textContent = text
  byId('notice').hidden = !text
}

const size = (bytes) => bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`

function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`

const interval = (job) => job.interval ? ` (95 % interval ${job.interval.join(' to ')} ml)` : ''

/** What one line says of a job that is neither done nor failed. */
function describe(job) {
  const left = job.seconds_left == null ? '' : `, about ${duration(job.seconds_left)} left`
  const now = job.now ? job.now[0].toUpperCase() + job.now.slice(1) : 'Starting'
  switch (job.state) {
    case 'queued': return `${size(job.bytes)}, waits to be sent`
    case 'uploading': return `${size(job.bytes)}, ${Math.round(100 * job.share)} %`
    case 'waiting': return (job.place ? `${job.place} before it` : 'Next') + left
    case 'working': return `${now}, ${Math.round(100 * job.share)} %${left}`
    case 'done': return `Lesion volume ${job.lesion_ml} ml${interval(job)}; made in ${duration(job.seconds)}`
    default: return ''
  }
}

function card(job) {
  if (cards.has(job.id)) return cards.get(job.id)
  const item = byId('job').content.firstElementChild.cloneNode(true)
  item.querySelector('h3').textContent = job.name
  item.querySelector('progress').setAttribute('aria-label', `Progress of ${job.name}`)
  for (const name of ['view', 'cancel', 'remove']) {
    const button = item.querySelector(`.${name}`)
    button.setAttribute('aria-label', `${button.textContent} ${job.name}`)
    button.addEventListener('click', () => ACTIONS[name](item.job))
  }
  item.querySelector('.zip').setAttribute('aria-label', `Download all files of ${job.name}`)
  byId('jobs').append(item)
  cards.set(job.id, item)
  return item
}

/** Bring the item of a job up to date, touching only what has changed, so that the focus stays. */
function show(job) {
  const item = card(job)
  const before = item.job
  item.job = job
  if (before && JSON.stringify(before) === JSON.stringify(job)) return
  const part = (name) => item.querySelector(name)
  item.dataset.state = job.state
  part('.state').textContent = STATES[job.state]
  part('.what').textContent = describe(job)
  part('.error').textContent = job.error ?? ''
  part('.caveat').textContent = job.caveat ? sentence(job.caveat) : ''
  part('.warnings').replaceChildren(...(job.warnings ?? []).map((text) => element('li', text)))
  const ended = ENDED.includes(job.state)
  const focused = item.contains(document.activeElement) ? document.activeElement : null // before it is hidden
  const progress = part('progress')
  progress.hidden = ended
  progress.value = job.share
  for (const [name, shown] of Object.entries({
    '.what': describe(job), '.error': job.error, '.caveat': job.caveat, '.warnings': job.warnings?.length,
    '.view': job.state === 'done', '.panel': job.state === 'done', '.zip': job.state === 'done', '.files': job.state === 'done',
    '.cancel': !ended, '.remove': ended,
  })) part(name).hidden = !shown
  if (focused?.hidden) part('.actions button:not([hidden])').focus()
  if (before?.state === job.state) return
  if (job.state === 'done') fillFiles(part('.files ul'), part('.zip'), part('.panel'), job)
  if (ended && before) byId('live').textContent = `${job.name}: ${STATES[job.state]}. ${job.error ?? ''}`
}

function fillFiles(list, zip, panel, job) {
  zip.href = `/results/${job.id}/all.zip`
  panel.src = `/results/${job.id}/panel`
  list.replaceChildren(...job.files.map((file) => {
    const link = element('a', file.name)
    link.href = `/results/${job.id}/${file.kind}`
    link.download = file.name
    const line = element('li')
    line.append(link, element('div', `${file.about} ${size(file.bytes)}`, 'fine'))
    return line
  }))
}

function element(name, text = '', kind = '') {
  const made = document.createElement(name)
  made.textContent = text
  made.className = kind
  return made
}

function dropCard(id) {
  const item = cards.get(id)
  const next = item?.nextElementSibling ?? item?.previousElementSibling
  const focused = item?.contains(document.activeElement)
  item?.remove()
  cards.delete(id)
  if (focused) (next?.querySelector('button:not([hidden])') ?? byId('files')).focus()
  byId('empty').hidden = cards.size > 0
}

// What the buttons of an item do.
const ACTIONS = {
  view(job) {
    byId('viewer-title').textContent = job.name
    byId('viewer-tab').href = byId('viewer-frame').src = `/results/${job.id}/view`
    byId('viewer-loading').hidden = false
    byId('viewer').showModal()
  },
  async cancel(job) {
    if (job.local) return abort(job)
    await acted(ask('POST', `/api/jobs/${job.id}/cancel`))
  },
  async remove(job) {
    if (!job.local) await acted(ask('DELETE', `/api/jobs/${job.id}`))
    dropCard(job.id)
  },
}

async function acted(request) {
  try {
    await request
  } catch (error) {
    notice(error.refused ? error.message : 'The program does not answer.')
  }
  refresh()
}

/** The boxes that are ticked, as a query. */
const options = () => ['blend', 'uncertainty'].map((name) => `${name}=${byId(name).checked}`).join('&')

/** Files of the person's: each becomes an item at once, and is sent when those before it are. */
function add(files) {
  for (const file of files) {
    const upload = { id: `upload-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`, file, options: options() }
    if (file.size > most) {
      showUpload(upload, 'failed', 0, `the file is larger than ${most / 2 ** 20} MB, the most that is taken`)
    } else {
      uploads.push(upload)
      showUpload(upload, 'queued', 0)
    }
  }
  byId('empty').hidden = cards.size > 0
  send()
}

function showUpload({ id, file }, state, share, error = '') {
  show({ id, name: file.name, bytes: file.size, state, share, error, local: true })
}

/** Send the next upload, unless one is on its way. */
function send() {
  if (sending || !uploads.length) return
  const upload = uploads.shift()
  const request = new XMLHttpRequest() // which tells how far it is
  sending = { upload, request }
  request.open('POST', `/api/jobs?${upload.options}`)
  request.setRequestHeader('Authorization', `Bearer ${token}`)
  request.setRequestHeader('X-File-Name', encodeURIComponent(upload.file.name.toWellFormed?.() ?? upload.file.name))
  request.responseType = 'json'
  request.upload.onprogress = ({ loaded, total }) => showUpload(upload, 'uploading', total ? loaded / total : 0)
  request.onload = () => sent(upload, request)
  request.onerror = () => showUpload(upload, 'failed', 0, 'the file could not be read or sent; try again')
  request.onabort = () => showUpload(upload, 'cancelled', 0)
  request.onloadend = () => { sending = null; send(); refresh() }
  showUpload(upload, 'uploading', 0)
  request.send(upload.file)
}

function sent(upload, request) {
  const answer = request.response
  if (request.status !== 201) {
    showUpload(upload, 'failed', 0, answer?.error ?? `the program does not take it (${request.status})`)
    return
  }
  const item = cards.get(upload.id) // is from now on that of the job
  cards.delete(upload.id)
  const double = cards.get(answer.id)
  double?.remove()
  cards.set(answer.id, item)
  show(answer)
}

function abort({ id }) {
  if (sending?.upload.id === id) return sending.request.abort()
  const [upload] = uploads.splice(uploads.findIndex((each) => each.id === id), 1)
  showUpload(upload, 'cancelled', 0)
}

/** Ask how far the server is, now and then again. */
async function refresh() {
  clearTimeout(timer)
  let active = true
  try {
    const { jobs, kinds, upload_bytes: bytes, version } = await ask('GET', '/api/jobs')
    most = bytes
    byId('kinds').textContent = `${Object.keys(kinds).join(', ')}; up to ${Math.round(bytes / 2 ** 20)} MB each`
    byId('files').accept = Object.values(kinds).flat().join()
    byId('version').textContent = `pseudohealthy ${version}.`
    const there = jobs.filter((job) => job.state !== 'uploading') // whoever sends it shows it
    there.forEach(show)
    const ids = new Set(there.map((job) => job.id))
    for (const [id, item] of [...cards]) if (!item.job.local && !ids.has(id)) dropCard(id)
    byId('empty').hidden = cards.size > 0
    active = jobs.some((job) => !ENDED.includes(job.state))
    if (lost) notice('')
    lost = false
  } catch (error) {
    lost = true
    notice(error.refused ? sentence(error.message) : ENDED_PROGRAM)
    if (error.refused) return
  }
  clearTimeout(timer)
  timer = setTimeout(refresh, active ? ACTIVE.often : ACTIVE.seldom)
}

byId('files').addEventListener('change', ({ target }) => {
  add([...target.files])
  target.value = '' // the same file may be chosen again
})
let over = 0 // elements that a drag is over
const mark = (more) => {
  over = Math.max(0, over + more)
  byId('drop').classList.toggle('over', over > 0)
}
addEventListener('dragenter', (event) => { event.preventDefault(); mark(1) })
addEventListener('dragleave', () => mark(-1))
addEventListener('dragover', (event) => event.preventDefault())
addEventListener('drop', (event) => {
  event.preventDefault()
  mark(-over)
  add([...event.dataTransfer.files])
})
byId('viewer-frame').addEventListener('load', () => { byId('viewer-loading').hidden = true })
byId('viewer-close').addEventListener('click', () => byId('viewer').close())
byId('viewer').addEventListener('close', () => { byId('viewer-frame').src = 'about:blank' })
addEventListener('beforeunload', (event) => { if (sending || uploads.length) event.preventDefault() })
refresh()
