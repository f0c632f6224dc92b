// Search runs in a worker, and browsers start none from a page that lies on the disk. There it runs in a hidden
// frame of the page. The theme looks for a file of this name and otherwise fetches one from the network.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      this.started = new Promise((start) => {
        frame.onload = () => {
          const inside = frame.contentWindow
          inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
          const script = frame.contentDocument.createElement("script")
          script.src = url
          script.onload = () => start(inside)
          frame.contentDocument.body.append(script)
        }
      })
      document.body.append(frame)
    }
    async postMessage(data) {
      const inside = await this.started
      inside.dispatchEvent(new inside.MessageEvent("message", { data }))
    }
  }
