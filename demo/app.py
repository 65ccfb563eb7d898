from scalenet.demo import serve

serve()
