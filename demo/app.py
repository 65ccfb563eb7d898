from scalenet.demo import build_demo

build_demo().launch()
