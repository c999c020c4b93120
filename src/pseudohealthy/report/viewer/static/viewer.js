'use strict'
// Linked views of one subject: input fading into healthy, healthy, difference, lesion probability, and the
// uncertainty of the healthy image where the page has it.
// Everything comes from the page itself: the volumes are its script elements `volume-...`, in base64.

const PLANES = { axial: 0, coronal: 1, sagittal: 2, all: 3 }
const MOUSE = { leftButton: { primary: 8 }, rightButton: 3, centerButton: 3 } // 8: cross-hairs, 3: move and zoom
const CROSS = 0.5 // % of the image's width: a cross-hair narrower than a pixel would be seen or not, by chance

// Colour maps by their corners: place (0 to 255), red, green, blue, opacity. An overlay is either there or not.
const MAPS = {
  grey: [[0, 0, 0, 0, 255], [255, 255, 255, 255, 255]],
  difference: [
    [0, 190, 232, 255, 255], [64, 36, 132, 232, 255], [128, 0, 0, 0, 255],
    [192, 226, 78, 28, 255], [255, 255, 226, 150, 255],
  ],
  lesion: [ // nothing below 0.05; a jump at 0.5, from where a voxel counts as lesion
    [0, 84, 39, 143, 0], [12, 84, 39, 143, 0], [13, 84, 39, 143, 255], [127, 158, 110, 220, 255],
    [128, 255, 127, 0, 255], [255, 255, 240, 90, 255],
  ],
  uncertainty: [[0, 0, 0, 0, 255], [85, 87, 16, 110, 255], [170, 229, 92, 48, 255], [255, 252, 255, 164, 255]],
}

const byId = (id) => document.getElementById(id)
const views = { input: null, healthy: null, difference: null, probability: null } // NiiVue by name
if (byId('view-uncertainty')) views.uncertainty = null
const images = {} // volumes by kind

/** A volume of the page, shown between two values in the colours of a map. */
async function opened(kind, colormap, [cal_min, cal_max]) {
  const text = byId(`volume-${kind}`)
  const image = await niivue.NVImage.loadFromBase64({
    base64: text.textContent.trim(), name: `${kind}.nii.gz`, colormap, cal_min, cal_max,
  })
  text.remove() // it is in memory twice otherwise
  return image
}

/** The same volume, its voxels shared, with an opacity of its own. */
function twin(image, opacity) {
  const other = Object.assign(Object.create(Object.getPrototypeOf(image)), image)
  other.opacity = opacity
  return other
}

/** A view in its canvas: NiiVue's hot keys off, since they would change one view and not the others. */
async function attached(name) {
  views[name] = new niivue.Niivue({
    logLevel: 'error', dragAndDropEnabled: false, dragMode: 0, viewModeHotKey: '',
    clipPlaneHotKey: '', cycleClipPlaneHotKey: '', multiplanarShowRender: 0, sliceType: PLANES.axial,
    isRadiologicalConvention: true, isForceMouseClickToVoxelCenters: true, crosshairWidth: CROSS,
    crosshairWidthUnit: 'percent', crosshairColor: [0.35, 0.85, 0.4, 0.7], fontColor: [0.75, 0.75, 0.75, 1],
    backColor: [0, 0, 0, 1], isAntiAlias: true, longTouchTimeout: 2 ** 31 - 1, // a long touch would reset its contrast
  })
  const canvas = byId(`view-${name}`)
  canvas.addEventListener('dblclick', (event) => event.stopImmediatePropagation()) // NiiVue's: contrast of this view
  canvas.addEventListener('keydown', (event) => event.code === 'KeyM' && event.stopImmediatePropagation()) // and its mouse
  await views[name].attachToCanvas(canvas)
  views[name].setMouseEventConfig(MOUSE)
  canvas.addEventListener('mousemove', (event) => event.buttons && views[name].sync()) // NiiVue does not while it moves
}

/** The volumes, and which of them are in which view: a later one lies over an earlier one. */
async function fill({ window: grey, largest, widest }) {
  for (const [name, colours] of Object.entries(MAPS)) niivue.cmapper.addColormap(`page-${name}`, corners(colours))
  images.input = await opened('input', 'page-grey', grey)
  images.healthy = await opened('healthy', 'page-grey', grey)
  images.difference = await opened('difference', 'page-difference', [-largest, largest])
  images.probability = await opened('probability', 'page-lesion', [0, 1])
  const layers = {
    input: [images.input, twin(images.healthy, 0)],
    healthy: [images.healthy],
    difference: [images.difference, twin(images.input, 0.25)], // faint, to see where one is
    probability: [images.input, twin(images.probability, 0.6)],
  }
  if ('uncertainty' in views) {
    images.uncertainty = await opened('uncertainty', 'page-uncertainty', [0, widest])
    layers.uncertainty = [images.uncertainty, twin(images.input, 0.25)]
  }
  for (const [name, volumes] of Object.entries(layers)) volumes.forEach((volume) => views[name].addVolume(volume))
}

function corners(colours) {
  const column = (index) => colours.map((corner) => corner[index])
  return { I: column(0), R: column(1), G: column(2), B: column(3), A: column(4) }
}

/** The map as a CSS gradient, for the scale under a view. */
function gradient(colours) {
  const stops = colours.map(([at, r, g, b, a]) => `rgba(${r},${g},${b},${a / 255}) ${(at / 2.55).toFixed(1)}%`)
  return `linear-gradient(90deg, ${stops.join(', ')})`
}

const everyView = (change) => Object.values(views).forEach(change)

/** Where the cross-hairs are, and the values there. */
function showValues(mm, toVoxel) {
  const [x, y, z] = mm
  const voxel = toVoxel.map(([i, j, k, shift]) => Math.round(i * x + j * y + k * z + shift)) // as stored, from 0
  byId('place').textContent = `${[x, y, z].map((part) => part.toFixed(1)).join(', ')} mm (voxel ${voxel.join(', ')})`
  for (const [kind, image] of Object.entries(images)) {
    byId(`value-${kind}`).textContent = Number(image.getValue(...image.mm2vox(mm)).toPrecision(4)) // NiiVue's own voxels
  }
}

/** Show `share` of the healthy image over the input, in the first view. */
function fade(share) {
  views.input.setOpacity(1, share)
  const names = { 0: 'Input', 1: 'Healthy' }
  byId('name-input').textContent = names[share] ?? `Input ${Math.round(100 - 100 * share)} %, healthy ${Math.round(100 * share)} %`
}

/** The grey window of input and healthy image, in all views, now ends at `top`. */
function brighten(top) {
  everyView((view) => {
    for (const volume of view.volumes) if (volume.colormap === 'page-grey') volume.cal_max = top
    view.updateGLVolume()
  })
  document.querySelectorAll('.top').forEach((label) => { label.textContent = Number(top.toPrecision(3)) })
}

/** Cross-hairs or none; wider where three planes share a view, since all is half as large there. */
function cross() {
  const width = CROSS * (byId('plane').value === 'all' ? 2.2 : 1)
  everyView((view) => view.setCrosshairWidth(byId('cross').checked ? width : 0))
}

function flip() {
  byId('fade').value = byId('fade').value < 50 ? 100 : 0
  fade(byId('fade').value / 100)
}

function listen(settings) {
  const top = settings.window[1]
  byId('fade').addEventListener('input', (event) => fade(event.target.value / 100))
  byId('flip').addEventListener('click', flip)
  byId('start').addEventListener('click', () => begin(settings))
  byId('opacity').addEventListener('input', (event) => views.probability.setOpacity(1, event.target.value / 100))
  byId('brightness').addEventListener('input', (event) => brighten(top * 2 ** (-event.target.value / 50)))
  byId('plane').addEventListener('change', (event) => everyView((view) => view.setSliceType(PLANES[event.target.value])))
  byId('plane').addEventListener('change', cross)
  byId('radiological').addEventListener('change', (event) => everyView((view) => view.setRadiologicalConvention(event.target.checked)))
  byId('voxels').addEventListener('change', (event) => everyView((view) => view.setInterpolation(event.target.checked)))
  byId('cross').addEventListener('change', cross)
  byId('large').addEventListener('change', (event) => byId('views').classList.toggle('large', event.target.checked))
  document.addEventListener('keydown', (event) => {
    if (event.key !== ' ' || event.target.matches('button, input, select, summary')) return
    event.preventDefault() // the page would scroll
    flip()
  })
}

/** Cross-hairs, slices, zoom of each view go to the others. */
function link({ to_voxel }) {
  everyView((view) => view.broadcastTo(Object.values(views).filter((other) => other !== view), { '2d': true }))
  views.input.onLocationChange = ({ mm }) => showValues(mm, to_voxel) // other views call it too, through the link
}

/** To where the lesion is, the whole head in sight. */
function begin({ start }) {
  everyView((view) => {
    view.scene.pan2Dxyzmm = [0, 0, 0, 1]
    view.scene.crosshairPos = view.mm2frac(start, 0, true)
    view.drawScene()
  })
  views.input.createOnLocationChange()
}

async function main() {
  if (!document.createElement('canvas').getContext('webgl2')) throw new Error('this browser has no WebGL 2')
  document.body.classList.add('live') // NiiVue measures its canvas: it must be seen
  const settings = JSON.parse(byId('settings').textContent)
  for (const name of Object.keys(views)) await attached(name)
  await fill(settings)
  document.querySelectorAll('[data-map]').forEach((bar) => { bar.style.backgroundImage = gradient(MAPS[bar.dataset.map]) })
  listen(settings)
  link(settings)
  begin(settings)
  byId('state').textContent = ''
  document.body.dataset.viewer = 'drawn'
}

main().catch((error) => {
  document.body.classList.remove('live')
  document.body.dataset.viewer = 'failed'
  byId('state').textContent = `The viewer cannot be shown: ${error.message}. The files beside this page hold the images.`
})
